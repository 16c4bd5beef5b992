!> Leapfrog step and Asselin filter.
module oce_nxt
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, jp_tem, Nis0, Nie0
   use dom_oce, only: rDt, rn_atfp, tmask, umask, vmask
   use oce, only: uu, vv, e3t, ts
   implicit none
   private
   public :: dyn_nxt, tra_nxt, nxt_atf

contains

   !> u(after) = u(before) + rDt du/dt, on the interior; the right-hand side stands in the after level.
   !! All layers have one coast.
   subroutine dyn_nxt(Kbb, Kaa, kj1, kj2)
      integer, intent(in) :: Kbb, Kaa   !< time levels
      integer, intent(in) :: kj1, kj2   !< rows
      integer :: jk
      do jk = 1, jpk
         call leap(kj1, kj2, uu(:, :, jk, Kbb), umask(:, :, 1), uu(:, :, jk, Kaa))
         call leap(kj1, kj2, vv(:, :, jk, Kbb), vmask(:, :, 1), vv(:, :, jk, Kaa))
      end do
   end subroutine dyn_nxt

   pure subroutine leap(kj1, kj2, pb, pmask, pa)
      integer, intent(in) :: kj1, kj2
      real(wp), intent(in), dimension(jpi, jpj) :: pb, pmask
      real(wp), intent(inout) :: pa(jpi, jpj)
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            pa(ji, jj) = (pb(ji, jj) + rDt*pa(ji, jj))*pmask(ji, jj)
         end do
      end do
   end subroutine leap

   !> T(after) = (h T(before) + rDt d(h T)/dt) / h(after), on the interior.
   subroutine tra_nxt(Kbb, Kaa, kj1, kj2)
      integer, intent(in) :: Kbb, Kaa   !< time levels
      integer, intent(in) :: kj1, kj2   !< rows
      integer :: ji, jj
      do jj = kj1, kj2
         do ji = Nis0, Nie0
            ts(ji, jj, 1, jp_tem, Kaa) = (e3t(ji, jj, 1, Kbb)*ts(ji, jj, 1, jp_tem, Kbb) + rDt*ts(ji, jj, 1, jp_tem, Kaa)) &
            &                            /e3t(ji, jj, 1, Kaa)*tmask(ji, jj, 1)
         end do
      end do
   end subroutine tra_nxt

   !> Filter the now level, x + a (x(before) - 2 x + x(after)): u, v, h and the content h T; halos too, they are valid.
   subroutine nxt_atf(Kbb, Kmm, Kaa, ldtra)
      integer, intent(in) :: Kbb, Kmm, Kaa   !< time levels
      logical, intent(in) :: ldtra           !< filter the tracer
      if (ldtra) call atf_content(ts(:, :, 1, jp_tem, Kbb), ts(:, :, 1, jp_tem, Kmm), ts(:, :, 1, jp_tem, Kaa), &
      &                           e3t(:, :, 1, Kbb), e3t(:, :, 1, Kmm), e3t(:, :, 1, Kaa))
      call atf(jpi*jpj*jpk, uu(:, :, :, Kbb), uu(:, :, :, Kmm), uu(:, :, :, Kaa))
      call atf(jpi*jpj*jpk, vv(:, :, :, Kbb), vv(:, :, :, Kmm), vv(:, :, :, Kaa))
      call atf(jpi*jpj*jpk, e3t(:, :, :, Kbb), e3t(:, :, :, Kmm), e3t(:, :, :, Kaa))
   end subroutine nxt_atf

   pure subroutine atf(kn, pb, pn, pa)
      integer, intent(in) :: kn
      real(wp), intent(in) :: pb(kn), pa(kn)
      real(wp), intent(inout) :: pn(kn)
      integer :: jn
      do jn = 1, kn
         pn(jn) = pn(jn) + rn_atfp*((pb(jn) + pa(jn)) - 2._wp*pn(jn))
      end do
   end subroutine atf

   pure subroutine atf_content(ptb, ptn, pta, phb, phn, pha)
      real(wp), intent(in), dimension(jpi, jpj) :: ptb, pta, phb, phn, pha
      real(wp), intent(inout) :: ptn(jpi, jpj)
      integer :: ji, jj
      do jj = 1, jpj
         do ji = 1, jpi
            ptn(ji, jj) = (phn(ji, jj)*ptn(ji, jj) &
            &   + rn_atfp*((phb(ji, jj)*ptb(ji, jj) + pha(ji, jj)*pta(ji, jj)) - 2._wp*(phn(ji, jj)*ptn(ji, jj)))) &
            &   /(phn(ji, jj) + rn_atfp*((phb(ji, jj) + pha(ji, jj)) - 2._wp*phn(ji, jj)))
         end do
      end do
   end subroutine atf_content
end module oce_nxt
