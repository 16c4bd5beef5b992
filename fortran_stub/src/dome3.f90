!> Thickness of faces and corners, and the transports, of the now level.
module dome3
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk
   use dom_oce, only: tmask, r1_nf, rland, e2u, e1v
   use oce, only: uu, vv, e3t, e3u, e3v, e3f, r1_e3u, r1_e3v, uflx, vflx
   implicit none
   private
   public :: dom_e3

contains

   !> Update e3u, e3v, e3f, their inverses and uflx = e2u e3u u, vflx = e1v e3v v, on all points that have both neighbours.
   subroutine dom_e3(Kmm)
      integer, intent(in) :: Kmm   !< now level
      integer :: jk
      do jk = 1, jpk
         call faces(e3t(:, :, jk, Kmm), uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), e2u, e1v, &
         &          e3u(:, :, jk), e3v(:, :, jk), r1_e3u(:, :, jk), r1_e3v(:, :, jk), uflx(:, :, jk), vflx(:, :, jk))
         call corners(e3t(:, :, jk, Kmm), tmask(:, :, jk), r1_nf(:, :, jk), rland(:, :, jk), e3f(:, :, jk))
      end do
   end subroutine dom_e3

   !> e3u = (h(i,j) + h(i+1,j)) / 2, e3v = (h(i,j) + h(i,j+1)) / 2.
   pure subroutine faces(pe3, pu, pv, pe2u, pe1v, pe3u, pe3v, pr1u, pr1v, puf, pvf)
      real(wp), intent(in), dimension(jpi, jpj) :: pe3, pu, pv, pe2u, pe1v
      real(wp), intent(inout), dimension(jpi, jpj) :: pe3u, pe3v, pr1u, pr1v, puf, pvf
      integer :: ji, jj
      do jj = 1, jpj
         do ji = 1, jpi - 1
            pe3u(ji, jj) = 0.5_wp*(pe3(ji, jj) + pe3(ji + 1, jj))
            pr1u(ji, jj) = 1._wp/pe3u(ji, jj)
            puf(ji, jj) = pe2u(ji, jj)*(pe3u(ji, jj)*pu(ji, jj))
         end do
      end do
      do jj = 1, jpj - 1
         do ji = 1, jpi
            pe3v(ji, jj) = 0.5_wp*(pe3(ji, jj) + pe3(ji, jj + 1))
            pr1v(ji, jj) = 1._wp/pe3v(ji, jj)
            pvf(ji, jj) = pe1v(ji, jj)*(pe3v(ji, jj)*pv(ji, jj))
         end do
      end do
   end subroutine faces

   !> e3f = sum of h over the wet cells round a corner / their number; 1 m where there is none, so that 1/e3f exists.
   pure subroutine corners(pe3, ptm, pr1, pland, pe3f)
      real(wp), intent(in), dimension(jpi, jpj) :: pe3, ptm, pr1, pland
      real(wp), intent(inout), dimension(jpi, jpj) :: pe3f
      integer :: ji, jj
      do jj = 1, jpj - 1
         do ji = 1, jpi - 1
            pe3f(ji, jj) = ((pe3(ji, jj)*ptm(ji, jj) + pe3(ji + 1, jj)*ptm(ji + 1, jj)) &
            &   + (pe3(ji, jj + 1)*ptm(ji, jj + 1) + pe3(ji + 1, jj + 1)*ptm(ji + 1, jj + 1)))*pr1(ji, jj) + pland(ji, jj)
         end do
      end do
   end subroutine corners
end module dome3
