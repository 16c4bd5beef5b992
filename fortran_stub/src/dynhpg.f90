!> Pressure gradient of stacked layers over a resting abyss.
module dynhpg
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0
   use dom_oce, only: gred, r1_e1u, r1_e2v
   use oce, only: uu, vv, e3t
   implicit none
   private
   public :: dyn_hpg

   real(wp), allocatable :: zsum(:, :, :)   ! height of the interfaces above the abyss's (i,j,0:jpk) [m]
   real(wp), allocatable :: zmon(:, :, :)   ! Montgomery potential (i,j,jpk+1) [m2 s-2]

contains

   !> Begin the right-hand side with -grad M, with M(k) = sum over l >= k of g'(l) (h(1) + ... + h(l)).
   !!
   !! The thickness is (h(after) + 2 h(now) + h(before)) / 4: the gravity-wave limit on the time step
   !! doubles (Brown & Campana 1978).
   subroutine dyn_hpg(Kbb, Kmm, Kaa, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Kaa, Krhs   !< time levels
      integer, intent(in) :: kj1, kj2              !< rows
      integer :: jk, in, j2
      if (.not. allocated(zsum)) then
         allocate (zsum(jpi, jpj, 0:jpk), zmon(jpi, jpj, jpk + 1))
         zsum(:, :, 0) = 0._wp
         zmon(:, :, jpk + 1) = 0._wp
      end if
      j2 = kj2 + 1
      in = jpi*(j2 - kj1 + 1)
      do jk = 1, jpk
         call stack(in, e3t(:, kj1:j2, jk, Kbb), e3t(:, kj1:j2, jk, Kmm), e3t(:, kj1:j2, jk, Kaa), zsum(:, :, jk - 1), &
         &          zsum(:, :, jk))
      end do
      do jk = jpk, 1, -1
         call potential(in, gred(jk), zsum(:, :, jk), zmon(:, :, jk + 1), zmon(:, :, jk))
         call grad(kj1, kj2, zmon(:, :, jk), r1_e1u, r1_e2v, uu(:, :, jk, Krhs), vv(:, :, jk, Krhs))
      end do
   end subroutine dyn_hpg

   pure subroutine stack(kn, pe3b, pe3n, pe3a, pabove, psum)
      integer, intent(in) :: kn   ! points of whole rows
      real(wp), intent(in), dimension(kn) :: pe3b, pe3n, pe3a, pabove
      real(wp), intent(inout), dimension(kn) :: psum
      integer :: jn
      do jn = 1, kn
         psum(jn) = pabove(jn) + 0.25_wp*((pe3a(jn) + pe3b(jn)) + 2._wp*pe3n(jn))
      end do
   end subroutine stack

   pure subroutine potential(kn, pg, psum, pbelow, pmon)
      integer, intent(in) :: kn
      real(wp), intent(in) :: pg
      real(wp), intent(in), dimension(kn) :: psum, pbelow
      real(wp), intent(inout), dimension(kn) :: pmon
      integer :: jn
      do jn = 1, kn
         pmon(jn) = pbelow(jn) + pg*psum(jn)
      end do
   end subroutine potential

   pure subroutine grad(kj1, kj2, pmon, pr1u, pr1v, pru, prv)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, kj1:kj2 + 1) :: pmon
      real(wp), intent(in), dimension(jpi, jpj) :: pr1u, pr1v
      real(wp), intent(inout), dimension(jpi, jpj) :: pru, prv
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            pru(ji, jj) = -(pmon(ji + 1, jj) - pmon(ji, jj))*pr1u(ji, jj)
            prv(ji, jj) = -(pmon(ji, jj + 1) - pmon(ji, jj))*pr1v(ji, jj)
         end do
      end do
   end subroutine grad
end module dynhpg
